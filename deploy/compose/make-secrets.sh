#!/bin/sh
# Makes the secrets that secrets.yml and users.yml mount, in the folder `secrets` of the checkout, or in another:
#   sh deploy/compose/make-secrets.sh [FOLDER]
# A second run keeps each password, and writes anew what is made of passwords. To change one, write the new one into its
# file, run this again, and recreate the containers.
# The folder is for its owner alone. The files in it have no owner to protect them from: containers read them as users of
# their own, and a mounted file keeps the rights that it has here.
set -eu
umask 022

root=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$root/secrets}
mkdir -p "$folder"
chmod 700 "$folder"

password() { # password NAME: what the file holds, made at random if there is none
  [ -s "$folder/$1" ] || head -c 24 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$folder/$1"
  cat "$folder/$1"
}

digest() { printf %s "$1" | sha256sum | cut -d ' ' -f 1; }

# --- secrets.yml: one password for all at Redis, Flower's login, MariaDB's address ---
echo "requirepass $(password redis_password)" >"$folder/redis_password.conf"
[ -s "$folder/flower_login" ] || printf 'flower:%s' "$(password flower_password)" >"$folder/flower_login"
printf 'mysql://interlock:%s@mariadb:3306/interlock' "$(password mariadb_password)" >"$folder/mariadb_url"

# --- users.yml: a user of Redis for each program, one for the health check, one for whoever looks after Redis ---
users=$(cat "$root/deploy/users.acl")
for user in interlock producer worker flower status; do
  users=$(printf '%s\n' "$users" | sed "s/^user $user reset off/user $user reset on #$(digest "$(password "redis_$user")")/")
done
{
  printf '%s\n' "$users"
  echo "user health reset on #$(digest "$(password redis_health)") -@all +ping"
  echo "user admin reset on #$(digest "$(password redis_admin)") ~* &* +@all"
} >"$folder/users.acl"
