#!/bin/bash
echo fine
done # @here
