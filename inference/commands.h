// Sub-commands of `sightline` that live in inference/: each takes argv without the program's name
// in front of the verb (argv[0] is the verb) and returns the exit status.
#ifndef SL_INFERENCE_COMMANDS_H
#define SL_INFERENCE_COMMANDS_H

int sl_command_accel(int argc, char **argv);
int sl_command_eval(int argc, char **argv);
int sl_command_model(int argc, char **argv);       // in the program `sightline-model`
int sl_command_bench_model(int argc, char **argv); // `sightline bench --model`

// The exit status of `program`, whose command ended with `status`: output that could not be
// written, to a full disk for one, is an error, and said.
int sl_command_end(const char *program, int status);

#endif
