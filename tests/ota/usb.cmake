# Tests of the stick reader; included by this folder's CMakeLists.txt.
sl_add_program(ota/usb_read LIBRARIES sl_volume)
add_test(NAME ota/usb_volume COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/usb_volume.py
    $<TARGET_FILE:tests_ota_usb_read>)
set_tests_properties(ota/usb_volume PROPERTIES SKIP_RETURN_CODE 77)

sl_add_program(ota/usb_rogue LIBRARIES sl_stick_reader)
sl_add_test(ota/test_usb_client SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/usb_image.c
    LIBRARIES sl_stick)
target_include_directories(tests_ota_test_usb_client PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
add_dependencies(tests_ota_test_usb_client tests_ota_usb_rogue sightline-stick)

# Seeds are made once, for random changes here and for tests/fuzz/fuzz_volume.
set(usb_seeds ${PROJECT_BINARY_DIR}/tests/ota/usb-seeds)
add_library(usb_sparse STATIC usb_sparse.c)
target_link_libraries(usb_sparse PUBLIC sl_volume)
target_include_directories(usb_sparse PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
sl_add_program(ota/usb_mutate LIBRARIES usb_sparse)
add_test(NAME ota/usb_seeds
    COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/usb_seeds.py ${usb_seeds})
add_test(NAME ota/usb_mutate COMMAND tests_ota_usb_mutate --runs 4000 ${usb_seeds})
set_tests_properties(ota/usb_seeds PROPERTIES FIXTURES_SETUP usb_seeds)
set_tests_properties(ota/usb_mutate PROPERTIES FIXTURES_REQUIRED usb_seeds SKIP_RETURN_CODE 77)

add_test(NAME ota/usb_units COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/usb_units.py
    ${PROJECT_SOURCE_DIR}/deploy/systemd $<TARGET_FILE:sightline-stick>)
set_tests_properties(ota/usb_units PROPERTIES SKIP_RETURN_CODE 77)

add_test(NAME ota/usb_process COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/usb_process.py
    $<TARGET_FILE:sightline-stick>)
set_tests_properties(ota/usb_process PROPERTIES SKIP_RETURN_CODE 77)

sl_add_test(ota/test_usb_volume SOURCES ${CMAKE_CURRENT_SOURCE_DIR}/usb_image.c
    LIBRARIES sl_volume)
target_include_directories(tests_ota_test_usb_volume PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
