#!/usr/bin/env bash
# Texts that must not be in the project; prints each place and what to do instead.
set -uo pipefail

failed=0
forbid() {
    local instead=$1 pattern=$2
    shift 2
    if grep -rnIE --exclude-dir={.git,.venv,.cache,.mypy_cache,.ruff_cache,.hypothesis,node_modules} "$pattern" "$@"; then
        echo "   ^ $instead" >&2
        failed=1
    fi
}

forbid "a lock names no registry" '://' requirements*.lock
[ ! -f client-js/package-lock.json ] || forbid "a lock names no registry" '"resolved"' client-js/package-lock.json
forbid "wait for an event or step a fake clock" 'time\.sleep\(|from time import .*sleep' --include='*.py' tests
forbid "a path of one machine" '(^|[^[:alnum:]_.)}/-])/(work|root|home|Users|opt)/[[:alnum:]]' .
# Cancelled in BEGIN or COMMIT, the transaction of `databases` loses its connection for ever.
forbid "open it with the storage's own tx()" '(db|database|connection|self\._\w+|\))\.transaction\(' --include='*.py' storage server
exit $failed
