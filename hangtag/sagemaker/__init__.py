"""SageMaker: the container, jobs and endpoints, models of its image classification."""
