// The models of one camera: the one that serves, and at most one other, which is either a candidate
// that runs in the shadow, or the old one that stays loaded while the new one is on probation.
//
// Models change places between two frames: the streaming thread takes the serving one at the
// frame's beginning and keeps it to the end, and no frame waits for a change. The shadow has its
// own thread and a copy of a picture; while it is busy, frames pass it by and are not counted.
// The frame path allocates nothing.
#ifndef SL_PIPELINE_TRIAL_H
#define SL_PIPELINE_TRIAL_H

#include "pipeline/served.h"

#define SL_TRIAL_FAILURES 3 // failed frames in a row that end a shadow or a probation
#define SL_TRIAL_BLIND    3 // defects that the old model finds in vain, the new one finding none

enum sl_trial_phase { SL_TRIAL_NONE, SL_TRIAL_SHADOW, SL_TRIAL_PROBATION };

struct sl_trial_report {
    enum sl_trial_phase phase;
    guint64 frames;    // compared in the shadow; served on probation
    guint64 different; // frames with a defect that the other model did not see, or saw elsewhere
    guint64 passed_by;
    guint64 old_defects, new_defects; // in the shadow
    guint failures;                   // in a row
    gchar message[200];               // of the last failure
};

struct sl_trial {
    GMutex lock;
    GCond changed;
    struct sl_served *serving, *other;
    gboolean in_frame, exchange; // exchange: asked for, done at the end of the frame
    struct sl_trial_report report;
    gfloat overlap; // from which two boxes are the same
    // the shadow
    GThread *thread;
    gboolean stopping, full; // full: a picture waits for the thread
    guint8 *room;
    gsize room_size, wanted_size; // wanted: of the last picture that did not fit
    struct sl_picture picture;    // in `room`
    GstBuffer *reference;
    guint reference_serial;
    struct sl_detect_result result; // of the model that serves
};

void sl_trial_init(struct sl_trial *trial);
void sl_trial_clear(struct sl_trial *trial);

// Before the first frame and after the last; begin takes over `served`.
void sl_trial_begin(struct sl_trial *trial, struct sl_served *served);
void sl_trial_end(struct sl_trial *trial);

// --- the streaming thread -----------------------------------------------------------------------

struct sl_served *sl_trial_frame_begin(struct sl_trial *trial);
// What the serving model made of a picture that is still mapped, for the shadow.
void sl_trial_frame_offer(struct sl_trial *trial, const struct sl_picture *picture,
                          const SightlinePartMeta *part, const struct sl_detect_result *result);
void sl_trial_frame_end(struct sl_trial *trial, int status, const char *message);

// --- any one other thread -----------------------------------------------------------------------

// Takes over `candidate`, also when it fails: -EINVAL if it does not fit, -EBUSY: a trial is on,
// -ENODEV: the element does not run. `overlap`: two boxes are the same from this on.
int sl_trial_shadow(struct sl_trial *trial, struct sl_served *candidate, gfloat overlap,
                    struct sl_error *error);
// Lets `candidate` serve, or the one in the shadow if it is NULL; the old one becomes the other.
// Returns when it does.
int sl_trial_swap(struct sl_trial *trial, struct sl_served *candidate, struct sl_error *error);
// Ends the trial: the old one serves (it is the shadow's end too), or the new one stays.
void sl_trial_roll_back(struct sl_trial *trial);
void sl_trial_commit(struct sl_trial *trial);

void sl_trial_report(struct sl_trial *trial, struct sl_trial_report *out);

// FALSE and NULL while nothing is loaded. The model's reference is the caller's to drop.
gboolean sl_trial_accelerator(struct sl_trial *trial, struct sl_accel_status *out);
const struct sl_model *sl_trial_model(struct sl_trial *trial);

#endif
