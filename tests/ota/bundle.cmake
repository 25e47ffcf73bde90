# Tests of bundles; included by this folder's CMakeLists.txt.
pkg_check_modules(BUNDLE_CJSON REQUIRED IMPORTED_TARGET libcjson)

add_library(bundle_make STATIC bundle_make.c)
target_link_libraries(bundle_make PUBLIC sl_bundle_encode)
target_include_directories(bundle_make PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})

sl_add_test(ota/test_bundle_documents LIBRARIES bundle_make)
sl_add_test(ota/test_bundle SOURCES ${PROJECT_SOURCE_DIR}/tests/inference/allocations.c
    LIBRARIES bundle_make)

if(DEFINED ENV{SIGHTLINE_SHARED})
    set(bundle_shared $ENV{SIGHTLINE_SHARED})
else()
    set(bundle_shared ${PROJECT_SOURCE_DIR}/../shared)
endif()
sl_add_program(ota/wycheproof LIBRARIES sl_bundle PkgConfig::BUNDLE_CJSON)
add_test(NAME ota/wycheproof COMMAND tests_ota_wycheproof
    ${bundle_shared}/data/wycheproof/ed25519_test.json)
set_tests_properties(ota/wycheproof PROPERTIES SKIP_RETURN_CODE 77)

# The same files for the second reader, and for tests/fuzz/fuzz_bundle.
set(bundle_seeds ${PROJECT_BINARY_DIR}/tests/ota/bundle-seeds)
sl_add_program(ota/bundle_read LIBRARIES bundle_make)
add_test(NAME ota/bundle_seeds COMMAND tests_ota_bundle_read --seeds ${bundle_seeds})
set_tests_properties(ota/bundle_seeds PROPERTIES FIXTURES_SETUP bundle_seeds)
add_test(NAME ota/bundle_reader COMMAND Python3::Interpreter
    ${CMAKE_CURRENT_SOURCE_DIR}/bundle_reader.py $<TARGET_FILE:tests_ota_bundle_read> ${bundle_seeds})
set_tests_properties(ota/bundle_reader PROPERTIES FIXTURES_REQUIRED bundle_seeds)

add_test(NAME ota/bundle_cli COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/bundle_cli.py
    $<TARGET_FILE:sightline>)
