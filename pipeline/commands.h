// Sub-commands of `sightline` that live in pipeline/; as in inference/commands.h.
#ifndef SL_PIPELINE_COMMANDS_H
#define SL_PIPELINE_COMMANDS_H

int sl_command_run(int argc, char **argv);
int sl_command_watch(int argc, char **argv);
int sl_command_status(int argc, char **argv);
int sl_command_check(int argc, char **argv);

#endif
