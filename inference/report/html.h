// One HTML page, complete in itself: no script, no reference to anything outside. Written into a
// stream in memory (open_memstream); what comes from files is escaped.
#ifndef SL_INFERENCE_REPORT_HTML_H
#define SL_INFERENCE_REPORT_HTML_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

void html_begin(FILE *out, const char *title);
void html_end(FILE *out);
// Text: markup escaped; control characters and bytes that are not UTF-8 become U+FFFD.
void html_text(FILE *out, const char *text);
// The same in an element of its own direction, for names that others chose.
void html_name(FILE *out, const char *name);
void html_base64(FILE *out, const uint8_t *bytes, size_t size);
// A cell with a share in percent, or a dash where it is NAN.
void html_percent_cell(FILE *out, double share);

#endif
