"""The polarizability model: lambda-SOAP features, regression, prediction."""
