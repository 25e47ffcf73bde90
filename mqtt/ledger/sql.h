// Inside of mqtt/ledger: statements of SQLite, with errors as this folder tells them.
//
// Functions return 0 or a negative errno and say why in `error`: -EBADMSG the database is damaged,
// -ENOSPC there is no room, -EAGAIN somebody else holds it, -EIO anything else.
#ifndef SL_MQTT_LEDGER_SQL_H
#define SL_MQTT_LEDGER_SQL_H

#include "mqtt/ledger/store.h"

int sql_fail(sqlite3 *db, int code, const char *what, struct store_error *error);
int sql_damaged(struct store_error *error, const char *what); // -EBADMSG

int sql_open(const char *folder, int flags, sqlite3 **db, struct store_error *error);
int sql_run(sqlite3 *db, const char *sql, struct store_error *error);
int sql_prepare(sqlite3 *db, const char *sql, sqlite3_stmt **out, struct store_error *error);
// Runs a bound statement that returns nothing, and makes it ready for the next time.
int sql_finish(sqlite3 *db, sqlite3_stmt *statement, struct store_error *error);
// First column of the first row, a number.
int sql_number(sqlite3 *db, const char *sql, int64_t *out, struct store_error *error);

// Hashes in the table `meta`.
int meta_hash(sqlite3 *db, const char *key, uint8_t out[STORE_HASH], struct store_error *error);
int meta_write_hash(sqlite3 *db, const char *key, const void *value, struct store_error *error);

void sql_copy(char *out, size_t size, const void *text); // NULL: ""

#endif
