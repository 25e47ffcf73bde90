// What if a threshold were another: how many parts of the ledger would be judged otherwise.
//
// Counted from the scores that the verdicts carry: of their defects and, below the threshold of
// that time, of the nearest miss of each class (`near`, from the floor on). A part counts as
// unknown where that does not decide: it was ERROR, listed not all of its defects, or the new
// threshold lies below the floor of that time and nothing else makes it NG.
#ifndef SL_PIPELINE_WHAT_IF_H
#define SL_PIPELINE_WHAT_IF_H

#include <cjson/cJSON.h>
#include <glib.h>

struct sl_what_if {
    const char *recipe, *model; // parts of others are passed over
    const char *class_name;     // whose threshold; NULL: of every class
    double threshold;
    // Counted.
    guint parts, unknown, ng_before, ng_after, ok_to_ng, ng_to_ok;
};

// Adds one verdict body. Anything else is passed over.
void sl_what_if_add(struct sl_what_if *what_if, const cJSON *verdict);

#endif
