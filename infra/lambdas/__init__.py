"""The code of the Lambda functions, one package each; a package imports only itself and boto3."""
