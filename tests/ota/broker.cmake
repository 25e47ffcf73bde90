# Tests of updates through the broker; included by this folder's CMakeLists.txt.
add_library(broker_sim STATIC broker_sim.c)
target_link_libraries(broker_sim PUBLIC sl_flags sl_update)
target_include_directories(broker_sim PUBLIC ${CMAKE_CURRENT_SOURCE_DIR})
sl_add_test(ota/test_broker LIBRARIES broker_sim)

# The long form is tests/ota/broker32 without --cameras and --mib: 64 MiB to 32 cameras.
sl_add_program(ota/broker_camera LIBRARIES sl_source_broker sl_ota_storage)
target_link_options(tests_ota_broker_camera PRIVATE -Wl,--wrap=sl_receiver_message)
set(broker32 ${CMAKE_CURRENT_SOURCE_DIR}/broker32 $<TARGET_FILE:tests_ota_broker_camera>
    $<TARGET_FILE:sightline-bundle>)
add_test(NAME ota/broker32 COMMAND ${broker32} --cameras 6 --mib 5 --slots)
add_test(NAME ota/broker32_loss COMMAND ${broker32} --cameras 6 --mib 5 --lose 25 --slots)
set_tests_properties(ota/broker32 ota/broker32_loss PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 300)
