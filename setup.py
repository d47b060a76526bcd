"""Packaging: the requirements are ranges here; the exact versions stand in locks/."""

from setuptools import find_packages, setup

# Ranges of both stacks, narrow enough for pip to find releases without trying many others.
LEGACY = "python_version < '3.12'"
CURRENT = "python_version >= '3.12'"
REQUIREMENTS = [
    f'tfx==1.16.0 ; {LEGACY}',
    f'tfx==1.21.0 ; {CURRENT}',
    f'apache-beam[gcp]==2.59.0 ; {LEGACY}',
    f'apache-beam[gcp]==2.77.0 ; {CURRENT}',
    f'tensorflow==2.16.2 ; {LEGACY}',
    f'tensorflow==2.21.0 ; {CURRENT}',
    'absl-py>=1.4,<2',
    'click>=8.1,<9',
    'cronsim>=2.6',
    'filelock>=3.12',
    'fsspec>=2024.6',
    'grimp>=3.5',
    'h5py>=3.12',
    'jinja2>=3.1',
    'keras>=3.12,<4',
    'keras-tuner>=1.4.7,<2',
    'ml-metadata',
    'numpy>=1.26,<3',
    'pillow>=12',
    f'protobuf==3.20.3 ; {LEGACY}',  # tensorflow-metadata asks for it; the lock has 4.25
    f'protobuf>=6.31,<7 ; {CURRENT}',
    f'pyarrow==10.0.1 ; {LEGACY}',
    f'pyarrow>=14.0.1,<19 ; {CURRENT}',
    f'pyarrow-hotfix>=0.6 ; {LEGACY}',
    'pydantic>=2.9,<3',
    'pyyaml>=6,<7',
    'requests>=2.32',
    'rich>=13.9',
    'scikit-learn>=1.5,<2',
    'scipy>=1.11,<2',
    'tenacity>=8.2',
    'tensorboard',
    'tensorflow-data-validation',
    'tensorflow-datasets>=4.9.3,<5',
    'tensorflow-metadata',
    'tensorflow-model-analysis',
    'tensorflow-serving-api',
    'tensorflow-transform',
    'tzdata',
    'urllib3>=2',  # checks the length of a download
    # Not imported here: without these bounds, pip reads dozens of releases of each to find those
    # that go with protobuf 3.20.
    *(
        f'{bound} ; {LEGACY}'
        for bound in (
            'google-api-core[grpc]<2.26',
            'google-cloud-bigquery<3.43',
            'google-cloud-bigquery-storage<2.37',
            'google-cloud-bigtable<2.37',
            'google-cloud-core<2.7',
            'google-cloud-datastore<2.24',
            'google-cloud-dlp<3.35',
            'google-cloud-language<2.20',
            'google-cloud-monitoring<2.30',
            'google-cloud-pubsub<2.37',
            'google-cloud-resource-manager<1.17',
            'google-cloud-spanner<3.65',
            'google-cloud-videointelligence<2.19',
            'google-cloud-vision<3.13',
            'googleapis-common-protos[grpc]<1.74',
            'grpc-google-iam-v1<0.14.4',
            'grpcio-status<1.49',
            'proto-plus<1.28',
            'tf-keras<2.17',
        )
    ),
]

setup(
    name='catdog-pipeline',
    version='0.1.0',
    description='A TFX pipeline that learns to tell cats from dogs.',
    long_description=(
        'Needs Linux on x86-64. CPython 3.12 and 3.13 install TFX 1.21, which needs glibc 2.39 or '
        'newer (Debian 13, Ubuntu 24.04, RHEL 10). On older systems (Debian 12, Ubuntu 22.04, '
        'RHEL 9), where pip finds no tensorflow-data-validation for these, CPython 3.10 installs '
        'TFX 1.16.'
    ),
    long_description_content_type='text/plain',
    license='Apache-2.0',
    python_requires='>=3.10,!=3.11.*,<3.14',
    packages=[
        *find_packages(include=['pipeline*', 'components*', 'trainer*', 'common*']),
        'configs',  # YAML alone
    ],
    py_modules=['pipeline_runner'],
    package_data={
        'configs': ['*.yaml'],
        'pipeline': ['*.pbtxt'],
        'pipeline.new_recipe': ['*.j2'],
        'pipeline.report.page': ['templates/*', 'templates/sections/*'],
        'pipeline.serving': ['page/*'],
        'trainer.model': ['embedded/*.h5'],
    },
    install_requires=REQUIREMENTS,
    extras_require={
        'kubeflow': ['kfp>=2.7,<3', 'kfp-kubernetes>=1.3,<3', 'kfp-server-api>=2.0.5,<3'],
        'heic': ['pillow-heif>=1'],
        'onnx': [
            f'onnx>=1.17,<1.19 ; {LEGACY}',  # newer ones need ml-dtypes 0.5
            f'onnx>=1.20,<2 ; {CURRENT}',
            'onnxruntime>=1.20,<2',
            'tf2onnx>=1.17,<2',
        ],
        's3': ['s3fs>=2024.6'],
        'gs': ['gcsfs>=2024.6'],
        'mlflow': ['mlflow-skinny>=3,<4'],
        'serve': ['prometheus-client>=0.21', 'starlette>=1,<2', 'uvicorn>=0.32', 'werkzeug>=3'],
    },
    entry_points={'console_scripts': ['catdog-pipeline = pipeline_runner:main']},
)
