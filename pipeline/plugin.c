// The plug-in's entry point.
#include "pipeline/elements.h"

gboolean sightline_elements_register(GstPlugin *plugin)
{
    return gst_element_register(plugin, "sightlinelinesrc", GST_RANK_NONE,
                                sightline_line_src_get_type()) &&
           gst_element_register(plugin, "sightlinepicturesrc", GST_RANK_NONE,
                                sightline_picture_src_get_type()) &&
           gst_element_register(plugin, "sightlinejpegdec", GST_RANK_NONE,
                                sightline_jpeg_dec_get_type()) &&
           gst_element_register(plugin, "sightlinedetect", GST_RANK_NONE,
                                sightline_detect_get_type());
}

#ifdef SIGHTLINE_PLUGIN
#define PACKAGE "sightline"
GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, sightline,
                  "Visual inspection of parts", sightline_elements_register, SIGHTLINE_VERSION,
                  "Apache-2.0", "Sightline", "Sightline")
#endif
