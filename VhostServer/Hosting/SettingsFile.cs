using System.Text.Json;

namespace Paravane.VhostServer.Hosting;

/// <summary>The file of <c>--config</c>: one JSON object whose keys are options without their dashes.</summary>
/// <remarks>Not the Generic Host's JSON provider: its messages are resource keys in a program compiled ahead of time, and name neither key nor line.</remarks>
internal sealed class SettingsFile
{
    private static readonly JsonDocumentOptions s_format = new() { CommentHandling = JsonCommentHandling.Skip, AllowTrailingCommas = true };

    private readonly Dictionary<string, string[]> _values = new(StringComparer.OrdinalIgnoreCase);

    private SettingsFile()
    {
    }

    /// <summary>Reads a file.</summary>
    /// <param name="path">Where it is.</param>
    /// <param name="keys">The keys that exist.</param>
    /// <exception cref="UsageException">It cannot be read, or a key is unknown, has no value, or comes twice.</exception>
    public static SettingsFile Read(string path, IReadOnlyCollection<string> keys)
    {
        UsageException Wrong(string what) => new($"--config={path}: {what}");
        try
        {
            using FileStream stream = File.OpenRead(path);
            using var document = JsonDocument.Parse(stream, s_format);
            if (document.RootElement.ValueKind != JsonValueKind.Object)
            {
                throw Wrong("is not a JSON object: write {\"socket-path\": \"/run/disk0.sock\"}");
            }

            var file = new SettingsFile();
            foreach (JsonProperty setting in document.RootElement.EnumerateObject())
            {
                string name = Readable(() => setting.Name) ?? throw Wrong("a key is not valid Unicode");
                if (!keys.Contains(name, StringComparer.OrdinalIgnoreCase))
                {
                    throw Wrong($"'{name}' is not an option; --help lists them");
                }

                string[] values = Readable(() => ValuesOf(setting.Value) ?? throw Wrong($"'{name}' needs a text, a number, or true or false"))
                    ?? throw Wrong($"the value of '{name}' is not valid Unicode");
                if (!file._values.TryAdd(name, values))
                {
                    throw Wrong($"'{name}' is given twice");
                }
            }

            return file;
        }
        catch (JsonException failure)
        {
            throw Wrong($"is not valid JSON, see line {(failure.LineNumber ?? 0) + 1}");
        }
        catch (Exception failure) when (failure is FileNotFoundException or DirectoryNotFoundException)
        {
            throw Wrong("there is no such file");
        }
        catch (UnauthorizedAccessException)
        {
            throw Wrong(Directory.Exists(path) ? "is a directory, not a file" : "there is no permission to read it");
        }
        catch (IOException failure)
        {
            throw Wrong($"cannot be read: {failure.Message}");
        }
    }

    /// <summary>The values of <paramref name="key"/>: none when it is not there or null, several when it is an array.</summary>
    public IReadOnlyList<string> ValuesOf(string key) => _values.GetValueOrDefault(key) ?? [];

    /// <summary>The parser takes texts as they stand, and finds only when they are read that some are none: lone surrogates, bytes that are not UTF-8.</summary>
    private static T? Readable<T>(Func<T> read)
        where T : class
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }

    private static string[]? ValuesOf(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.Null => [],
        JsonValueKind.Array => element.EnumerateArray().Select(TextOf).OfType<string>().ToArray() is var items && items.Length == element.GetArrayLength() ? items : null,
        _ => TextOf(element) is { } text ? [text] : null,
    };

    private static string? TextOf(JsonElement element) => element.ValueKind switch
    {
        JsonValueKind.String => element.GetString(),
        JsonValueKind.Number or JsonValueKind.True or JsonValueKind.False => element.GetRawText(),
        _ => null,
    };
}
