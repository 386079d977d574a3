# Sourced by every verb: the repository is the working folder, and its own tools come first.
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export PATH="$PWD/.venv/bin:$PATH"

node_fits() {
    node -e 'process.exit(parseInt(process.versions.node) >= 20 ? 0 : 1)' 2>/dev/null
}

pip_install() { python -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r "$1"; }

in_ci() { [ "${CI:-}" = true ]; }
