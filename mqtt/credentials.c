// Reads what a connection shows to a broker.
#include "mqtt/credentials.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define PASSWORD_MAX 65535u

void credentials_clear(char *password)
{
    if (password) {
        explicit_bzero(password, strlen(password));
    }
    g_free(password);
}

static bool read_line(const char *path, const char *what, char **out, GError **error)
{
    gsize size = 0;
    char *password = NULL;
    if (!g_file_get_contents(path, &password, &size, error)) {
        return false;
    }
    size_t line = strcspn(password, "\r\n");
    bool rest = password[line + strspn(password + line, "\r\n")] != '\0';
    if (line == 0 || line > PASSWORD_MAX || rest || strlen(password) != size) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: expected one line with the %s, found something else", path, what);
        credentials_clear(password);
        return false;
    }
    password[line] = '\0';
    *out = password;
    return true;
}

static bool check_files(const struct sl_config_broker *broker, GError **error)
{
    const char *const files[] = {broker->ca_file, broker->certificate_file, broker->key_file};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        if (files[i] && access(files[i], R_OK)) {
            g_set_error(error, G_FILE_ERROR, (int)g_file_error_from_errno(errno),
                        "%s: expected a file that can be read, found: %s", files[i],
                        g_strerror(errno));
            return false;
        }
    }
    return true;
}

bool credentials_read(const struct sl_config_broker *broker, char **password, GError **error)
{
    char *read = NULL;
    if (!check_files(broker, error) ||
        (broker->password_file && !read_line(broker->password_file, "password", &read, error))) {
        return false;
    }
    *password = read;
    return true;
}

bool credentials_read_psk(const struct sl_config_broker *broker, char **psk, GError **error)
{
    char *read = NULL;
    if (broker->psk_file && !read_line(broker->psk_file, "key", &read, error)) {
        return false;
    }
    if (read && read[strspn(read, "0123456789abcdefABCDEF")]) {
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_INVAL,
                    "%s: expected a key in hexadecimal, found something else", broker->psk_file);
        credentials_clear(read);
        return false;
    }
    *psk = read;
    return true;
}
