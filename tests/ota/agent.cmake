# Tests of the update agent; included by this folder's CMakeLists.txt.
add_test(NAME ota/agent_e2e COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/agent_e2e.py
    ${PROJECT_BINARY_DIR})
set_tests_properties(ota/agent_e2e PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
