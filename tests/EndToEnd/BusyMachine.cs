namespace Paravane.EndToEnd;

/// <summary>Tests that start processes which poll: one at a time, since there may be just enough cores for one of them.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class BusyMachine
{
    /// <summary>Name of the collection.</summary>
    public const string Name = "polling processes";
}
