#!/usr/bin/env bash
# Fills a folder with Debian's Python for 64-bit ARM, to be run by qemu-aarch64-static: arm64_root.sh FOLDER
# Made for Debian 12 (Python 3.11); changes nothing on the system but the list of architectures.
set -euo pipefail
root=$1
mkdir -p "$root"
dpkg --add-architecture arm64
apt-get update -qq
cd "$root"
for name in libc6 libgcc-s1 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libsqlite3-0 libssl3 libuuid1 \
  libpython3.11-minimal libpython3.11-stdlib python3.11-minimal python3.11; do
  apt-get download -qq "$name:arm64"
done
for package in ./*.deb; do dpkg-deb -x "$package" .; done
rm -f ./*.deb
echo "$root holds $(ls usr/bin/python3.*)"
