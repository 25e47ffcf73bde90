# Tests of a camera's storage with bundles in it; included by this folder's CMakeLists.txt.
add_test(NAME ota/slot_cli COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/slot_cli.py
    $<TARGET_FILE:sightline-slot> $<TARGET_FILE:sightline-bundle>)
