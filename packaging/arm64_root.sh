#!/usr/bin/env bash
# Fills a folder with Debian's Python for 64-bit ARM, to be run by qemu-aarch64-static: arm64_root.sh FOLDER
# Made for Debian 12 (Python 3.11). The lists of packages stay in the folder; the system is left as it is.
set -euo pipefail
mkdir -p "$1/.apt/lists/partial" "$1/.apt/cache"
cd "$1"
for_arm() {
  apt-get -qq -o "Dir::State::Lists=$PWD/.apt/lists" -o "Dir::Cache=$PWD/.apt/cache" -o APT::Architectures::=amd64 \
    -o APT::Architectures::=arm64 -o APT::Sandbox::User=root "$@"
}
for_arm update
packages=(libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libssl3 libuuid1 libcrypt1)
packages+=(libpython3.11-minimal libpython3.11-stdlib python3.11-minimal)
for_arm download "${packages[@]/%/:arm64}"
for package in ./*.deb; do dpkg-deb -x "$package" .; done
rm -rf ./*.deb .apt
usr=$(echo usr/bin/python3.*)
echo "$1 holds $usr"
