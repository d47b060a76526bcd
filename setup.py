"""Packaging: the requirements are ranges here; the exact versions stand in requirements.txt."""

from setuptools import find_packages, setup

# Wide enough for plain pip, which does not see what pyproject.toml tells uv.
REQUIREMENTS = [
    'absl-py>=1.4,<2',
    'apache-beam[gcp]>=2.59,<2.60',
    'click>=8.1,<9',
    'cronsim>=2.6',
    'filelock>=3.12',
    'google-crc32c>=1.5',
    'h5py>=3.12',
    'jinja2>=3.1',
    'keras>=3.12,<4',
    'keras-tuner>=1.4.7,<2',
    'ml-metadata>=1.16,<1.17',
    'numpy>=1.26,<2',
    'pillow>=12',
    'protobuf>=3.20.3,<5',
    'pyarrow>=10,<11',
    'pyarrow-hotfix>=0.6',
    'pydantic>=2.9,<3',
    'pyyaml>=6,<7',
    'requests>=2.32',
    'rich>=13.9',
    'scipy>=1.11,<2',
    'tenacity>=8.2',
    'tensorflow>=2.16.2,<2.17',
    'tensorflow-data-validation>=1.16.1,<1.17',
    'tensorflow-datasets>=4.9.3,<5',
    'tensorflow-metadata>=1.16.1,<1.17',
    'tensorflow-model-analysis>=0.47,<0.48',
    'tensorflow-serving-api>=2.16,<2.17',
    'tensorflow-transform>=1.16,<1.17',
    'tfx>=1.16,<1.17',
    'tzdata',
]

setup(
    name='catdog-pipeline',
    version='0.1.0',
    description='A TFX pipeline that learns to tell cats from dogs.',
    license='Apache-2.0',
    python_requires='>=3.10,<3.11',
    packages=[
        *find_packages(include=['pipeline*', 'components*', 'trainer*', 'common*']),
        'configs',  # YAML alone
    ],
    py_modules=['pipeline_runner'],
    package_data={
        'configs': ['*.yaml'],
        'pipeline': ['*.pbtxt'],
        'pipeline.report.page': ['templates/*', 'templates/sections/*'],
        'trainer.model': ['embedded/*.h5'],
    },
    install_requires=REQUIREMENTS,
    extras_require={'kubeflow': ['kfp>=2.7,<2.14', 'kfp-kubernetes>=1.3,<2']},
    entry_points={'console_scripts': ['catdog-pipeline = pipeline_runner:main']},
)
