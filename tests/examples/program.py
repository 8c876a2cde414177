import logging.config

logging.config.dictConfig(
    {
        "version": 1,
        "disable_existing_loggers": False,  # else nobody hears what hookplugin logs
        "handlers": {
            "console": {"class": "logging.StreamHandler"},
            "alerts": {"class": "hookplugin.hosts.logging.AlertHandler", "level": "ERROR", "config": "hookplugin.yaml"},
        },
        "root": {"handlers": ["console", "alerts"]},
    }
)

logging.getLogger("shop").error("order %d could not be paid", 7, extra={"tags": {"env": "prod"}})
