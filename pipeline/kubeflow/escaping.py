"""Escapes text that Kubeflow passes on, so that no backend replaces a part of it."""


def escape_placeholders(text: str) -> str:
    """Escapes JSON against replacements in the command of a pod; it still parses to the same value.

    Kubeflow's launcher replaces `{{$...}}`, Argo `{{...}}` and Kubernetes `$(NAME)`, also inside
    the values of parameters. In JSON, dollars and pairs of braces occur only within strings.
    """
    return text.replace('$', '\\u0024').replace('{{', '{\\u007b')
