#!/bin/sh
# Stands in for QEMU in tests: runs the text after "--script".
while [ "$1" != --script ]; do
    shift
done
eval "$2"
