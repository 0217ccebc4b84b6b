# Debian systems in folders. To be read by the scripts of this folder.

# Debian's mirror as apt has it here.
mirror() {
    if [ -n "${MATRIX_MIRROR:-}" ]; then
        echo "$MATRIX_MIRROR"
    else
        apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' 2>/dev/null |
            sort -u | head -n 1
    fi
}

# Makes a system of suite $1, for purpose $2 if any, in the folder $chroot, with the project in /project. The bare system is kept as an archive.
# With MATRIX_KEEP set, the system of the last run is used again.
make_chroot() {
    local suite=$1 base=$cache/base-$1.tar url
    [ "$(id -u)" = 0 ] || not_tried 'a chroot needs root'
    command -v debootstrap >/dev/null || not_tried 'debootstrap is missing'
    url=$(mirror)
    [ -n "$url" ] || not_tried "apt has no mirror of Debian here; set MATRIX_MIRROR"
    chroot=$cache/chroots/$suite${2:+-$2}
    [ -n "${MATRIX_KEEP:-}" ] || rm -rf --one-file-system "$chroot"
    mkdir -p "$chroot"
    if [ -d "$chroot/etc" ]; then
        echo "going on in $chroot"
    elif [ -f "$base" ]; then
        tar -x -f "$base" -C "$chroot"
    else
        debootstrap --variant=minbase --include=ca-certificates "$suite" "$chroot" "$url" ||
            not_tried "debootstrap got no $suite from apt's mirror"
        rm -rf "$chroot"/var/cache/apt/archives/*.deb
        tar -c -f "$base.new" -C "$chroot" . && mv "$base.new" "$base"
    fi
    cp -L /etc/resolv.conf /etc/hosts "$chroot/etc/"
    # A mirror may be older than the Release file of the suite allows.
    echo 'Acquire::Check-Valid-Until "false";' >"$chroot/etc/apt/apt.conf.d/90matrix"
    # No package starts a server.
    printf '#!/bin/sh\nexit 101\n' >"$chroot/usr/sbin/policy-rc.d"
    chmod +x "$chroot/usr/sbin/policy-rc.d"
    copy_project "$chroot/project"
    [ -n "${MATRIX_KEEP:-}" ] || trap 'rm -rf --one-file-system "$chroot"' EXIT
}

# Runs a command in $chroot. Its mounts and processes are its own, and end with it.
in_chroot() {
    mkdir -p "$chroot/dev/shm" "$chroot/dev/pts"
    unshare --mount --pid --fork --kill-child --mount-proc="$chroot/proc" \
        sh -c 'mount -t tmpfs tmpfs "$1/dev/shm" && mount -t devpts -o newinstance,ptmxmode=0666 devpts "$1/dev/pts" &&
            chroot=$1 && shift && exec chroot "$chroot" "$@"' sh "$chroot" \
        env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive "$@"
}
