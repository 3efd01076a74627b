#!/usr/bin/env bash
# Installs kcat (librdkafka's command-line client) by the machine's package manager where it is missing.
set -euo pipefail
command -v kcat >/dev/null && exit 0
sudo=""; [ "$(id -u)" = 0 ] || sudo=sudo
if command -v apt-get >/dev/null; then
  $sudo apt-get update -qq && $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq kcat >/dev/null
elif command -v brew >/dev/null; then
  brew install kcat
else
  echo "kcat is missing and neither apt-get nor brew is here: please install it" >&2
  exit 1
fi
