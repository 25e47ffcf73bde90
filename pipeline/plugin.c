// The elements under their names.
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
