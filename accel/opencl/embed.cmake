# cmake -DOUTPUT=FILE.c "-DSOURCES=A.cl;B.cl" -P embed.cmake: the files' bytes as C arrays.
set(text "// Made from the .cl files.\n#include \"accel/opencl/kernels.h\"\n")
foreach(source ${SOURCES})
    get_filename_component(name ${source} NAME_WE)
    file(READ ${source} bytes HEX)
    string(REGEX REPLACE "(..)" "0x\\1," bytes "${bytes}")
    string(REGEX REPLACE "((0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,)(0x..,))" "\\1\n" bytes
        "${bytes}")
    string(APPEND text "const char ocl_source_${name}[] = {\n${bytes}0x00};\n")
endforeach()
file(WRITE ${OUTPUT} "${text}")
