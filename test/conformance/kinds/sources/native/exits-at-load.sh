#!/bin/bash
echo "last words"
exit 3
