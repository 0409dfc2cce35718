#!/bin/sh
# Stands in for one of QEMU's programs for other processors.
echo "QEMU emulator version 10.0.2"
echo "  cortex-a53"
