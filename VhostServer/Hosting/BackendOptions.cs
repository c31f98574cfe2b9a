using System.CommandLine;

namespace Paravane.VhostServer.Hosting;

/// <summary>The values of a back-end's options: from the command line, else from the environment, else from the JSON file, else the default.</summary>
public sealed class BackendOptions
{
    private readonly ParseResult _result;

    internal BackendOptions(ParseResult result) => _result = result;

    /// <summary>The value of <paramref name="option"/>, which must be one of <see cref="BackendProgram.Options"/>.</summary>
    public T? Get<T>(Option<T> option) => _result.GetValue(option);

    /// <summary>True when the user gave <paramref name="option"/> anywhere, so that its value is not the default.</summary>
    public bool Has(Option option) => _result.GetResult(option) is { Implicit: false };
}
