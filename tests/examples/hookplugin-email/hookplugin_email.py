"""A sender of mail: the plugin's settings say through which server, the receiver's options to whom."""

import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate

from pydantic import BaseModel, Field

from hookplugin import Message, Registry, Secret, SendError, hookimpl


class Settings(BaseModel):
    server: str = "localhost"
    port: int = 587
    starttls: bool = True
    username: str = ""
    password: Secret | None = None


class Options(BaseModel):
    sender: str = Field(alias="from")
    to: list[str] = Field(min_length=1)


def compose(message: Message[Options]) -> EmailMessage:
    first, *others = (delivery.alert for delivery in message.deliveries)
    subject = f"{first.status.name}: {first.content}" + (f" (and {len(others)} more)" if others else "")
    mail = EmailMessage()
    mail["From"] = message.options.sender
    mail["To"] = ", ".join(message.options.to)
    mail["Subject"] = " ".join(subject.split())  # a header has no line ends
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message.id}@hookplugin>"  # the same for each attempt
    mail.set_content(message.body.content.decode(errors="replace"), cte="quoted-printable")
    return mail


@hookimpl
def alert_register(registry: Registry) -> None:
    settings = registry.settings(Settings)

    def send(message: Message[Options]) -> None:
        try:
            with smtplib.SMTP(settings.server, settings.port, timeout=message.timeout) as server:
                if settings.starttls:
                    server.starttls(context=ssl.create_default_context())
                if settings.password:
                    server.login(settings.username, settings.password.get_secret_value())
                refused = server.send_message(compose(message))  # some of the addresses
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients  # all of them
        except smtplib.SMTPResponseException as error:
            raise SendError(str(error), retry=error.smtp_code < 500) from error
        if refused:
            raise SendError(str(refused), retry=any(code < 500 for code, _ in refused.values()))

    registry.sender("email", send, Options)
