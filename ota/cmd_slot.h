// Actions of `sightline slot` that have a file of their own. Each returns the exit status.
#ifndef SL_OTA_CMD_SLOT_H
#define SL_OTA_CMD_SLOT_H

// "state", "rollback" or "update", to the running agent.
int slot_agent_command(const char *what, int argc, char **argv);
int slot_audit_command(int argc, char **argv);

#endif
