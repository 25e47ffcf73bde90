// Arguments of options that several actions of `sightline model` have.
#ifndef SL_INFERENCE_WORKSHOP_ARGUMENT_H
#define SL_INFERENCE_WORKSHOP_ARGUMENT_H

#include <argp.h>
#include <stdint.h>

// Ends the program with a message if `text` is no whole number from `least` to `most`.
uint32_t argument_number(struct argp_state *state, const char *option, const char *text,
                         unsigned long least, unsigned long most);

#endif
