#!/bin/sh
# The CDK's docker. The builder without buildx rejects --output, and makes Docker v2 images anyway.
if ! docker buildx version >/dev/null 2>&1; then
    for argument do
        shift
        case $argument in --output=*) ;; *) set -- "$@" "$argument" ;; esac
    done
fi
exec docker "$@"
