# Tests of the update agent; included by this folder's CMakeLists.txt.
add_test(NAME ota/agent_e2e COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/agent_e2e.py
    ${PROJECT_BINARY_DIR})
set_tests_properties(ota/agent_e2e PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)

sl_add_test(ota/test_control LIBRARIES sl_control)
sl_add_test(ota/test_audit LIBRARIES sl_audit)
sl_add_test(ota/test_settings SOURCES ${PROJECT_SOURCE_DIR}/ota/settings.c LIBRARIES sl_yaml sl_update)
target_compile_definitions(tests_ota_test_settings PRIVATE SIGHTLINE_LIBEXEC="/usr/libexec/sightline")

# A wall clock that is wrong, for agent_e2e.
add_library(ota_clock_preload MODULE clock_preload.c)
set_target_properties(ota_clock_preload PROPERTIES PREFIX ""
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/ota)
target_link_libraries(ota_clock_preload PRIVATE ${CMAKE_DL_LIBS})

# No frame is lost while models change places; 10,000 frames: --frames 10000 --rate 30 --every 500.
sl_add_program(ota/swap-under-load LIBRARIES sl_camera)
set(swaps)
if(SIGHTLINE_SANITIZE) # frames take ten times as long
    set(swaps --frames 40 --every 4)
endif()
add_test(NAME ota/swap-under-load COMMAND tests_ota_swap-under-load ${swaps})
add_test(NAME ota/stick_to_serving COMMAND Python3::Interpreter
    ${CMAKE_CURRENT_SOURCE_DIR}/stick_to_serving.py --mib 16 ${PROJECT_BINARY_DIR})
set_tests_properties(ota/stick_to_serving PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
add_test(NAME ota/stick_to_serving_loop COMMAND Python3::Interpreter
    ${CMAKE_CURRENT_SOURCE_DIR}/stick_to_serving.py --mib 4 --loop ${PROJECT_BINARY_DIR})
set_tests_properties(ota/stick_to_serving_loop PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
add_test(NAME ota/broker_to_serving COMMAND Python3::Interpreter
    ${CMAKE_CURRENT_SOURCE_DIR}/broker_to_serving.py ${PROJECT_BINARY_DIR})
set_tests_properties(ota/broker_to_serving PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
add_test(NAME ota/agent_orders COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/agent_orders.py
    ${PROJECT_BINARY_DIR})
set_tests_properties(ota/agent_orders PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
