// The actions of `sightline model` that make new models or compare them. argv[0] is the action.
#ifndef SL_INFERENCE_WORKSHOP_COMMANDS_H
#define SL_INFERENCE_WORKSHOP_COMMANDS_H

int workshop_command_prune(int argc, char **argv);
int workshop_command_quantize(int argc, char **argv);
int workshop_command_report(int argc, char **argv);

#endif
