/* Linked into the static programs (scripts/static-programs.sh): host names are looked up in /etc/hosts and by DNS, whatever the
 * machine's nsswitch.conf says. glibc would load the modules named there, from a glibc that is not the one it was built with:
 * "files myhostname dns" on Debian 13 ends a static program of Debian 12 by SIGFPE.
 * https://sourceware.org/glibc/manual/latest/html_node/NSS-Configuration-File.html */
#include <nss.h>

__attribute__((constructor)) static void names_by_files_and_dns(void) {
    __nss_configure_lookup("hosts", "files dns");
}
