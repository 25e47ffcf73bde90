// The entry point of the plug-in libgstsightline.so.
#include "pipeline/elements.h"

#define PACKAGE "sightline"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, sightline, "Visual inspection of parts",
                  sightline_elements_register, SIGHTLINE_VERSION, "Apache-2.0", "Sightline",
                  "Sightline")
