#!/usr/bin/env bash
# Fills a folder with Pythons of Debian's unstable branch that this system does not have: debian_pythons.sh FOLDER
# [VERSION...]. FOLDER/bin then holds python3.14 and python3.15 for the PATH, with headers, venv and a C library of their
# own. The system is left as it is, but for patchelf, which it needs: apt-get install patchelf
set -euo pipefail
mkdir -p "$1"
cd "$1"
root=$PWD
versions=("${@:2}")
if [ ${#versions[@]} = 0 ]; then versions=(3.14 3.15); fi
mkdir -p .apt/lists/partial .apt/cache/archives/partial bin
cat >.apt/unstable.sources <<END
Types: deb
URIs: http://deb.debian.org/debian
Suites: unstable
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
unstable() {
  apt-get -qq -o "Dir::Etc::SourceList=$root/.apt/unstable.sources" -o Dir::Etc::SourceParts=/dev/null \
    -o "Dir::State::Lists=$root/.apt/lists" -o "Dir::Cache=$root/.apt/cache" -o Dir::State::status=/dev/null \
    -o APT::Sandbox::User=root "$@"
}
unstable update
packages=(libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libssl3t64 libuuid1)
packages+=(libcrypt1 libzstd1 python3-pip-whl python3-setuptools-whl)
for version in "${versions[@]}"; do
  packages+=("libpython$version-minimal" "libpython$version-stdlib" "python$version-minimal" "python$version")
  packages+=("libpython$version-dev" "python$version-venv")
done
unstable download "${packages[@]}"
for package in ./*.deb; do dpkg-deb -x "$package" .; done
rm -rf ./*.deb .apt
libraries=$root/usr/lib/x86_64-linux-gnu
for version in "${versions[@]}"; do
  python=$root/usr/bin/python$version
  patchelf --set-interpreter "$libraries/ld-linux-x86-64.so.2" --set-rpath "$libraries" --force-rpath "$python"
  sed -i "s#'/usr/share/python-wheels/#'$root/usr/share/python-wheels/#" "usr/lib/python$version"/_sysconfigdata*.py
  # Debian keeps what depends on the processor in a folder that only the system's own compiler searches. It is the same
  # for both that wheels are made for.
  for processor in x86_64 aarch64; do
    ln -sfn ../x86_64-linux-gnu "usr/include/python$version/$processor-linux-gnu"
  done
  ln -sf "$python" "bin/python$version"
done
echo "$root/bin holds" "${versions[@]/#/python}"
