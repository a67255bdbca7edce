"""Checks a signature with the official library of Standard Webhooks for Python: ends with 0 if it holds.

Takes as JSON on the command line: {"secret": "whsec_...", "headers": {"webhook-id": "...", ...}, "body": "..."}
"""

import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

asked = json.loads(sys.argv[1])
try:
    Webhook(asked["secret"]).verify(asked["body"], asked["headers"], json_parse=False)
except WebhookVerificationError as error:
    sys.exit(str(error))
