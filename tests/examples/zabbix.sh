#!/bin/sh
# Zabbix hands us one parameter, {ALERT.MESSAGE}: a NAME=VALUE on each line.
printf '%s\n' "$1" |
  /opt/hookplugin/bin/hookplugin fire --queue --config /etc/hookplugin/hookplugin.yaml --source zabbix
