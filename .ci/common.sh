# What .ci/run and .ci/slow share; sourced by both, from the root of the repository.
set -euo pipefail
repository=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3.11 || command -v python3)
export PIP_DISABLE_PIP_VERSION_CHECK=1
main_command=$(grep -m1 -E '^pip install .*&& optcompare run ' README.md)
test_command=$(grep -m1 -E '^pip install .*&& pytest -n auto$' README.md)

began=$SECONDS
stage() { printf '\n== %s  (%d s so far)\n' "$*" $((SECONDS - began)); }

# A new environment $work/NAME, active for what follows in the same subshell.
new_environment() {
    "$python" -m venv "$work/$1"
    source "$work/$1/bin/activate"
}

# An environment $work/NAME on top of that of the tests, for an extra.
environment_on_tests() {
    "$python" -m venv "$work/$1"
    "$work/tests/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
        >"$("$work/$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tests.pth"
    "$work/$1/bin/pip" install --quiet -c constraints.txt -e "$repository[test,$1]"
}

# The extras, whose tests carry their names as markers; that of all tests is left out.
extras() {
    "$work/tests/bin/python" -c 'from importlib.metadata import metadata
extras = metadata("optcompare").get_all("Provides-Extra") or []
print(*(extra for extra in extras if extra != "test"))'
}

# The folders in which tests carry the marker of an extra; a test holds it.
extra_tests="tests/extras tests/benchmarks tests/docs"

# Install packages of Debian, where that can be done.
install_packages() {
    command -v apt-get >/dev/null || return 0
    if [[ -z ${packages_listed:-} ]]; then
        apt-get update -qq >/dev/null 2>&1 || true
        packages_listed=yes
    fi
    apt-get install -y -qq "$@" >/dev/null 2>&1 || true
}

# Chromium for the tests of the page, where it can be had.
provide_chromium() {
    command -v chromium >/dev/null || install_packages chromium chromium-driver
    command -v chromium >/dev/null || echo "chromium is missing and could not be installed; its tests are skipped"
}

# The images for the tests of fashion-mnist on real data, where they can be had.
provide_fashion_mnist() {
    local images=/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
    [[ -e $images ]] || install_packages dataset-fashion-mnist
    [[ -e $images ]] || echo "dataset-fashion-mnist is missing and could not be installed; its tests are skipped"
}
