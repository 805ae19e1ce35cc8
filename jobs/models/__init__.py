"""The inputs of the models that are known here, field by field as the service names them; one family of models a file.

The service owns these schemas and may change them: what is written here is what a row is checked against before anything is paid for.
"""
