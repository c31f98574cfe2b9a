namespace Paravane.Backends.Net.Tests;

/// <summary>Standard error belongs to the process, so these tests run while no other does.</summary>
[CollectionDefinition(nameof(OptionTests), DisableParallelization = true)]
public sealed class OptionTestsCollection;
