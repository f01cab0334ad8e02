"""S3 and SageMaker."""
