# Tests of a camera's storage with bundles in it; included by this folder's CMakeLists.txt.
add_test(NAME ota/slot_cli COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/slot_cli.py
    $<TARGET_FILE:sightline-slot> $<TARGET_FILE:sightline-bundle>)

# The long form is build/tests/ota/blocklog.
sl_add_program(ota/blocklog LIBRARIES bundle_make sl_ota_storage)
add_test(NAME ota/blocklog COMMAND tests_ota_blocklog --states 120)
add_test(NAME ota/provision_disk COMMAND Python3::Interpreter
    ${CMAKE_CURRENT_SOURCE_DIR}/provision_disk.py ${PROJECT_SOURCE_DIR}/deploy/provision.sh
    $<TARGET_FILE:sightline>)
set_tests_properties(ota/blocklog ota/provision_disk PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)

add_test(NAME ota/no_clock COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/no_clock.py
    ${CMAKE_NM} $<TARGET_FILE:sl_ota> $<TARGET_FILE:sl_bundle> $<TARGET_FILE:sl_update>)
if(DEFINED ENV{SIGHTLINE_LONG_TESTS} AND NOT SIGHTLINE_SANITIZE)
    add_test(NAME ota/coverage COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/coverage)
endif()
