#!/bin/sh
# Makes the archive of a small Debian root file system: debootstrap.sh SUITE MIRROR ARCHIVE
# Run by baseImage.ts as root. Trimmed as the official slim images are, now and for every package
# installed later; copyright files stay.
set -eu

suite=$1 mirror=$2 archive=$3
root=$archive.root
# debootstrap mounts /proc in there; never follow a mount that was left behind.
trap 'rm -rf --one-file-system "$root"' EXIT

case $mirror in
https:*) extra=--include=ca-certificates ;;
*) extra= ;;
esac
debootstrap --force-check-gpg --variant=minbase ${extra:+"$extra"} "$suite" "$root" "$mirror"

rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/* "$root"/var/log/*.log "$root"/var/log/apt
cat >"$root/etc/apt/apt.conf.d/docker-clean" <<'CONF'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Acquire::Languages "none";
CONF
printf 'force-unsafe-io\n' >"$root/etc/dpkg/dpkg.cfg.d/docker-unsafe-io"

slim=$root/etc/dpkg/dpkg.cfg.d/docker-slim
for folder in doc groff info linda lintian locale man; do
  printf 'path-exclude /usr/share/%s/*\n' "$folder" >>"$slim"
  [ ! -d "$root/usr/share/$folder" ] ||
    find "$root/usr/share/$folder" -mindepth 1 ! -type d ! -name copyright -delete
done
printf 'path-include /usr/share/doc/*/copyright\n' >>"$slim"

tar --numeric-owner -C "$root" -cf "$archive" .
