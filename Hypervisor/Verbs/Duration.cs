using System.Globalization;

namespace Paravane.Hypervisor.Verbs;

/// <summary>A time as an option value; shown in help the way it is typed.</summary>
internal readonly record struct Duration(TimeSpan Time)
{
    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Time.TotalSeconds:0.###}s");
}
