# Tests of the stick reader; included by this folder's CMakeLists.txt.
sl_add_program(ota/usb_read LIBRARIES sl_volume)
add_test(NAME ota/usb_volume COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/usb_volume.py
    $<TARGET_FILE:tests_ota_usb_read>)
set_tests_properties(ota/usb_volume PROPERTIES SKIP_RETURN_CODE 77)
